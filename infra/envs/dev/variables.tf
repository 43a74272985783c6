variable "region" {
  description = "The AWS region."
  type        = string
}

variable "packages" {
  description = "The folder cargo lambda wrote to, holding <function>/bootstrap.zip."
  type        = string
}

variable "architecture" {
  description = "What the packages were built for: arm64 or x86_64."
  type        = string
  default     = "arm64"
}

variable "roots" {
  description = "Thumbprints of the offline root keys."
  type        = list(string)
}

variable "operator_key" {
  description = "The operator's key: its id, and the hex SHA-256 of its secret."
  type = object({
    id            = string
    secret_sha256 = string
  })
}

variable "cors_origins" {
  description = "Web origins whose pages may call the management API."
  type        = list(string)
  default     = []
}

variable "alarm_topics" {
  description = "ARNs of the SNS topics that hear of alarms."
  type        = list(string)
  default     = []
}

variable "websocket" {
  description = "Whether SDKs may listen by WebSocket for new roots."
  type        = bool
  default     = false
}

variable "cdn" {
  description = "Whether a CloudFront distribution stands in front of the bucket, for SDKs that connect with grant=cloudfront."
  type        = bool
  default     = false
}
