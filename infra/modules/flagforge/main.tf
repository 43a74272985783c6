# A whole installation. Each function has a file of its own beside this one: role, trigger, settings.
data "aws_caller_identity" "current" {}
data "aws_region" "current" {}

module "table" {
  source              = "../table"
  name                = var.name
  deletion_protection = var.protect_data
}

module "bucket" {
  source          = "../bucket"
  name            = "${var.name}-manifests-${data.aws_caller_identity.current.account_id}-${data.aws_region.current.name}"
  force_destroy   = !var.protect_data
  noncurrent_days = var.noncurrent_days
  tls_only        = var.tls_only
  distribution = {
    reads = var.cdn
    arn   = one(module.cdn[*].distribution_arn)
  }
}

module "cdn" {
  count                = var.cdn ? 1 : 0
  source               = "../cdn"
  name                 = var.name
  bucket_domain_name   = module.bucket.regional_domain_name
  deletion_window_days = var.protect_data ? 30 : 7
}

module "key" {
  source               = "../key"
  name                 = var.name
  deletion_window_days = var.protect_data ? 30 : 7
}

module "topics" {
  source = "../topics"
  name   = var.name
}

module "gateway" {
  source              = "../gateway"
  name                = var.name
  requests_per_second = var.requests_per_second
  requests_burst      = var.requests_burst
  log_retention_days  = var.log_retention_days
  functions = {
    api = {
      function_name = module.api.name
      invoke_arn    = module.api.invoke_arn
      routes        = ["$default"]
    }
    evaluate = {
      function_name = module.evaluate.name
      invoke_arn    = module.evaluate.invoke_arn
      routes        = ["ANY /ofrep/{proxy+}", "ANY /data/{proxy+}"]
    }
  }
}

locals {
  # What every function is given besides its own settings.
  function = {
    installation       = var.name
    packages           = var.packages
    architecture       = var.architecture
    log_retention_days = var.log_retention_days
  }
  # What a function is given that calls addresses which customers name.
  outbound = var.allow_loopback ? { FLAGFORGE_ALLOW_LOOPBACK = "true" } : {}
}
