# Production. Its data refuses to be destroyed.
terraform {
  required_version = ">= 1.11"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 5.100"
    }
  }

  # State belongs in a bucket of your own, versioned and locked, whose name only you know. Name it at
  #   terraform init -backend-config=bucket=… -backend-config=region=…
  # For a look without any: terraform init -backend=false && terraform validate.
  backend "s3" {
    key          = "flagforge/prod/terraform.tfstate"
    encrypt      = true
    use_lockfile = true
  }
}

provider "aws" {
  region = var.region
  default_tags {
    tags = {
      product     = "flagforge"
      environment = "prod"
    }
  }
}

module "flagforge" {
  source = "../../modules/flagforge"

  name         = "flagforge-prod"
  packages     = var.packages
  architecture = var.architecture
  roots        = var.roots
  operator_key = var.operator_key
  cors_origins = var.cors_origins
  alarm_topics = var.alarm_topics
  cdn          = var.cdn
  websocket    = var.websocket

  protect_data       = true
  log_retention_days = 365
}
