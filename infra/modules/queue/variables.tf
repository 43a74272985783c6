variable "name" {
  description = "The queue's name; its dead letters go to <name>-dead."
  type        = string
}

variable "visibility_timeout_seconds" {
  description = "How long a received message is hidden; no less than the consumer's timeout."
  type        = number
}

variable "max_receives" {
  description = "Deliveries of one message before it goes to the dead letters."
  type        = number
  default     = 5
}

variable "senders" {
  description = "Who may send, by statement id: the AWS service and the ARN it sends for."
  type = map(object({
    service    = string
    source_arn = string
  }))
}
