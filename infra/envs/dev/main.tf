# A shared environment on AWS for trying things; nothing in it is protected.
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
    key          = "flagforge/dev/terraform.tfstate"
    encrypt      = true
    use_lockfile = true
  }
}

provider "aws" {
  region = var.region
  default_tags {
    tags = {
      product     = "flagforge"
      environment = "dev"
    }
  }
}

module "flagforge" {
  source = "../../modules/flagforge"

  name         = "flagforge-dev"
  packages     = var.packages
  architecture = var.architecture
  roots        = var.roots
  operator_key = var.operator_key
  cors_origins = var.cors_origins
  alarm_topics = var.alarm_topics
  cdn          = var.cdn
  websocket    = var.websocket

  protect_data       = false
  log_retention_days = 30
}
