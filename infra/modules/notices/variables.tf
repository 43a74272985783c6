variable "name" {
  description = "The queue's name; its dead letters go to <name>-dead."
  type        = string
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
  description = "Its environments that the process follows."
  type        = list(string)

  validation {
    condition     = length(var.envs) > 0
    error_message = "Name at least one environment."
  }
}
