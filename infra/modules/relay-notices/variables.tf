variable "relay_url" {
  description = "Where AWS reaches the relay, without a slash at the end."
  type        = string

  validation {
    condition     = can(regex("^https://[^/]+$", var.relay_url))
    error_message = "Say https://<host>, or https://<host>:<port>."
  }
}

variable "roots_topic_arn" {
  description = "The topic that rings when a manifest can be fetched: the output roots_topic of an installation."
  type        = string
}

variable "org" {
  description = "The organization."
  type        = string
}

variable "envs" {
  description = "Its environments that the relay serves."
  type        = list(string)

  validation {
    condition     = length(var.envs) > 0
    error_message = "Name at least one environment."
  }
}
