# Relays on ECS Fargate behind a load balancer with TLS. It was validated, and has been applied nowhere.
locals {
  port = 8081
  # In no listener and no rule but the health check's: it names organizations.
  operation_port = 8082
  # What is under way has 25 seconds (relay/README.md); the load balancer stops sending before.
  drain_seconds = 25
}

data "aws_region" "here" {}

resource "aws_cloudwatch_log_group" "this" {
  name              = "/ecs/${var.name}"
  retention_in_days = var.log_retention_days
}

data "aws_iam_policy_document" "assume" {
  statement {
    actions = ["sts:AssumeRole"]
    principals {
      type        = "Service"
      identifiers = ["ecs-tasks.amazonaws.com"]
    }
  }
}

# What starts a relay: reads its secret and writes its log. The relay itself has no role: its key is all that it needs.
data "aws_iam_policy_document" "start" {
  statement {
    sid       = "Secret"
    actions   = ["secretsmanager:GetSecretValue"]
    resources = [var.connection_secret_arn]
  }
  statement {
    sid       = "Logs"
    actions   = ["logs:CreateLogStream", "logs:PutLogEvents"]
    resources = ["${aws_cloudwatch_log_group.this.arn}:*"]
  }
  statement {
    sid       = "ImageToken"
    actions   = ["ecr:GetAuthorizationToken"]
    resources = ["*"]
  }
  statement {
    sid       = "Image"
    actions   = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
    resources = ["arn:aws:ecr:*:*:repository/*"]
  }
}

resource "aws_iam_role" "start" {
  name               = "${var.name}-start"
  assume_role_policy = data.aws_iam_policy_document.assume.json
}

resource "aws_iam_role_policy" "start" {
  name   = "start"
  role   = aws_iam_role.start.id
  policy = data.aws_iam_policy_document.start.json
}

resource "aws_ecs_cluster" "this" {
  name = var.name
}

resource "aws_ecs_task_definition" "this" {
  family                   = var.name
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = var.cpu
  memory                   = var.memory
  execution_role_arn       = aws_iam_role.start.arn

  runtime_platform {
    operating_system_family = "LINUX"
    cpu_architecture        = var.architecture
  }

  volume {
    name = "cache"
  }

  container_definitions = jsonencode([{
    name                   = "relay"
    image                  = var.image
    essential              = true
    user                   = "65532:65532"
    readonlyRootFilesystem = true
    # It is told to end once the load balancer has let go of it; some seconds are to spare.
    stopTimeout = local.drain_seconds + 5
    portMappings = [
      { containerPort = local.port, protocol = "tcp" },
      { containerPort = local.operation_port, protocol = "tcp" },
    ]
    environment = [
      { name = "FLAGFORGE_LISTEN", value = "0.0.0.0:${local.port}" },
      { name = "FLAGFORGE_OPERATION_LISTEN", value = "0.0.0.0:${local.operation_port}" },
      { name = "FLAGFORGE_CACHE_DIR", value = "/var/cache/flagforge" },
    ]
    secrets     = [{ name = "FLAGFORGE_CONNECTION", valueFrom = var.connection_secret_arn }]
    mountPoints = [{ sourceVolume = "cache", containerPath = "/var/cache/flagforge", readOnly = false }]
    ulimits     = [{ name = "nofile", softLimit = 65536, hardLimit = 65536 }]
    logConfiguration = {
      logDriver = "awslogs"
      options = {
        awslogs-group         = aws_cloudwatch_log_group.this.name
        awslogs-region        = data.aws_region.here.name
        awslogs-stream-prefix = "relay"
      }
    }
  }])
}

resource "aws_security_group" "load_balancer" {
  name        = "${var.name}-load-balancer"
  description = "Who may ask relays"
  vpc_id      = var.vpc_id

  ingress {
    description = "HTTPS"
    from_port   = 443
    to_port     = 443
    protocol    = "tcp"
    cidr_blocks = var.callers
  }
  egress {
    description     = "Relays, and their health"
    from_port       = local.port
    to_port         = local.operation_port
    protocol        = "tcp"
    security_groups = [aws_security_group.relay.id]
  }
}

resource "aws_security_group" "relay" {
  name        = var.name
  description = "Relays"
  vpc_id      = var.vpc_id

  egress {
    description = "The origin, Secrets Manager, the image"
    from_port   = 443
    to_port     = 443
    protocol    = "tcp"
    cidr_blocks = ["0.0.0.0/0"]
  }
}

# By itself, because the two groups name each other.
resource "aws_security_group_rule" "from_load_balancer" {
  type                     = "ingress"
  description              = "The load balancer alone"
  security_group_id        = aws_security_group.relay.id
  source_security_group_id = aws_security_group.load_balancer.id
  from_port                = local.port
  to_port                  = local.operation_port
  protocol                 = "tcp"
}

resource "aws_lb" "this" {
  name               = var.name
  internal           = var.internal
  load_balancer_type = "application"
  subnets            = var.load_balancer_subnets
  security_groups    = [aws_security_group.load_balancer.id]
  # Longer than a stream is silent (15 s) and than an answer is held back (25 s).
  idle_timeout = 60
}

resource "aws_lb_target_group" "this" {
  name        = var.name
  vpc_id      = var.vpc_id
  target_type = "ip"
  port        = local.port
  protocol    = "HTTP"
  # Streams are what lasts: whoever has fewest requests under way gets the next.
  load_balancing_algorithm_type = "least_outstanding_requests"
  deregistration_delay          = local.drain_seconds

  health_check {
    port                = local.operation_port
    path                = "/readyz"
    interval            = 5
    timeout             = 3
    healthy_threshold   = 2
    unhealthy_threshold = 2
    matcher             = "200"
  }
}

resource "aws_lb_listener" "https" {
  load_balancer_arn = aws_lb.this.arn
  port              = 443
  protocol          = "HTTPS"
  ssl_policy        = "ELBSecurityPolicy-TLS13-1-2-2021-06"
  certificate_arn   = var.certificate_arn

  default_action {
    type             = "forward"
    target_group_arn = aws_lb_target_group.this.arn
  }
}

resource "aws_ecs_service" "this" {
  name                               = var.name
  cluster                            = aws_ecs_cluster.this.id
  task_definition                    = aws_ecs_task_definition.this.arn
  desired_count                      = var.least
  launch_type                        = "FARGATE"
  deployment_minimum_healthy_percent = 100
  deployment_maximum_percent         = 200
  health_check_grace_period_seconds  = 30

  deployment_circuit_breaker {
    enable   = true
    rollback = true
  }

  network_configuration {
    subnets         = var.subnets
    security_groups = [aws_security_group.relay.id]
  }

  load_balancer {
    target_group_arn = aws_lb_target_group.this.arn
    container_name   = "relay"
    container_port   = local.port
  }

  # How many there are says the autoscaler.
  lifecycle {
    ignore_changes = [desired_count]
  }

  depends_on = [aws_lb_listener.https]
}

resource "aws_appautoscaling_target" "this" {
  service_namespace  = "ecs"
  resource_id        = "service/${aws_ecs_cluster.this.name}/${aws_ecs_service.this.name}"
  scalable_dimension = "ecs:service:DesiredCount"
  min_capacity       = var.least
  max_capacity       = var.most
}

resource "aws_appautoscaling_policy" "cpu" {
  name               = "${var.name}-cpu"
  policy_type        = "TargetTrackingScaling"
  service_namespace  = aws_appautoscaling_target.this.service_namespace
  resource_id        = aws_appautoscaling_target.this.resource_id
  scalable_dimension = aws_appautoscaling_target.this.scalable_dimension

  target_tracking_scaling_policy_configuration {
    target_value = 60
    # Streams that are sent away come back all at once: not for every dip.
    scale_in_cooldown = 600

    predefined_metric_specification {
      predefined_metric_type = "ECSServiceAverageCPUUtilization"
    }
  }
}
