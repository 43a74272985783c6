# The emulated cloud on one machine. `localstack/up` applies it; its state lives and dies with the emulator.
terraform {
  required_version = ">= 1.9"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 5.100"
    }
  }

  backend "local" {
    path = "../../../localstack/.run/terraform.tfstate"
  }
}

provider "aws" {
  region = var.region
  # The emulator takes any credentials; these are nobody's.
  access_key = "test"
  secret_key = "test"

  skip_credentials_validation = true
  skip_metadata_api_check     = true
  skip_requesting_account_id  = true
  s3_use_path_style           = true

  endpoints {
    apigatewayv2   = var.endpoint
    cloudfront     = var.endpoint
    cloudwatchlogs = var.endpoint
    dynamodb       = var.endpoint
    events         = var.endpoint
    iam            = var.endpoint
    kms            = var.endpoint
    lambda         = var.endpoint
    s3             = var.endpoint
    sns            = var.endpoint
    sqs            = var.endpoint
    sts            = var.endpoint
  }
}

module "flagforge" {
  source = "../../modules/flagforge"

  name         = "flagforge-local"
  packages     = var.packages
  architecture = var.architecture
  roots        = var.roots
  operator_key = var.operator_key

  # The emulator loses what follows a partial failure.
  partial_batches = false
  # Tests listen on the machine that runs the functions.
  allow_loopback = true
  # A journey comes from there, as a browser would.
  cors_origins = ["https://console.example"]
  # Each apply would find them changed.
  alarms = false
  # The emulator's does not look at signatures, so tests look at what would be sent there.
  cdn = true

  websocket   = true
  execute_api = "${var.endpoint}/_aws/execute-api"

  protect_data       = false
  tls_only           = false
  log_retention_days = 1
}

# What a process outside would have, for one organization, so that a test hears of its roots.
module "notices" {
  source          = "../../modules/notices"
  name            = "flagforge-local-notices"
  roots_topic_arn = module.flagforge.roots_topic
  org             = "notified"
  envs            = ["prod"]
}
