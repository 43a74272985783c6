variable "name" {
  description = "The installation's name; everything it is made of begins with it."
  type        = string
  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{2,23}$", var.name))
    error_message = "3 to 24 characters: a-z, 0-9 and -, beginning with a letter (the bucket's 63 hold the account and region too)."
  }
}

variable "packages" {
  description = "The folder cargo lambda wrote to, holding <function>/bootstrap.zip."
  type        = string
}

variable "architecture" {
  description = "What the packages were built for: arm64 or x86_64."
  type        = string
  validation {
    condition     = contains(["arm64", "x86_64"], var.architecture)
    error_message = "arm64 or x86_64."
  }
}

variable "roots" {
  description = "Thumbprints of the offline root keys, as every SDK pins them. Empty only while the online key alone is applied."
  type        = list(string)
  validation {
    condition     = alltrue([for root in var.roots : can(regex("^[A-Za-z0-9_-]{43}$", root))])
    error_message = "Each is 43 characters of base64url."
  }
}

variable "operator_key" {
  description = "The operator's key: its id, and the hex SHA-256 of its secret."
  type = object({
    id            = string
    secret_sha256 = string
  })
  validation {
    condition     = can(regex("^[0-9a-f]{64}$", var.operator_key.secret_sha256))
    error_message = "secret_sha256 is 64 hexadecimal digits."
  }
}

variable "protect_data" {
  description = "Whether the table and the bucket refuse to be destroyed with what they hold."
  type        = bool
}

variable "tls_only" {
  description = "Whether the bucket refuses requests without TLS."
  type        = bool
  default     = true
}

variable "noncurrent_days" {
  description = "Days an overwritten manifest is kept."
  type        = number
  default     = 30
}

variable "log_retention_days" {
  description = "Days logs are kept."
  type        = number
  default     = 30
}

variable "requests_per_second" {
  description = "Steady rate of the API over all callers."
  type        = number
  default     = 1000
}

variable "requests_burst" {
  description = "Requests let through at once above the steady rate."
  type        = number
  default     = 2000
}

variable "resign_schedule" {
  description = "How often roots are looked at for re-signing; more often than every 6 hours, so that one missed round is no harm."
  type        = string
  default     = "rate(1 hour)"
}

variable "publishers" {
  description = "Most publishers at once, 2 to 1000."
  type        = number
  default     = 10
}

variable "poll_milliseconds" {
  description = "Age at which the evaluate function asks for a newer manifest; each ask is one conditional GET."
  type        = number
  default     = 1000
}

variable "partial_batches" {
  description = "Whether the stream goes on from the first record that failed. Emulators take that answer for a success."
  type        = bool
  default     = true
}

variable "allow_loopback" {
  description = "Whether addresses that customers name may be on the functions' own machine. Only emulators need it."
  type        = bool
  default     = false
}

variable "cors_origins" {
  description = "Web origins whose pages may call the management API, say https://console.example.com; none unless named."
  type        = list(string)
  default     = []
  validation {
    condition     = alltrue([for origin in var.cors_origins : can(regex("^https?://[^/,]+$", origin))])
    error_message = "Each is https://<host>, without a path."
  }
}

variable "alarms" {
  description = "Whether the publisher's alarms are CloudWatch's. Emulators never settle on one."
  type        = bool
  default     = true
}

variable "alarm_topics" {
  description = "ARNs of the SNS topics that hear of alarms; none unless named."
  type        = list(string)
  default     = []
}

variable "websocket" {
  description = "Whether SDKs may listen by WebSocket for new roots."
  type        = bool
  default     = false
}

variable "execute_api" {
  description = "Where an emulator serves all APIs of API Gateway, instead of AWS's address for each."
  type        = string
  default     = null
}

variable "cdn" {
  description = "Whether a CloudFront distribution stands in front of the bucket, for SDKs that connect with grant=cloudfront."
  type        = bool
  default     = false
}
