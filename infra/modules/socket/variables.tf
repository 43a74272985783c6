variable "name" {
  description = "The API's name."
  type        = string
}

variable "function_name" {
  description = "The function behind it."
  type        = string
}

variable "invoke_arn" {
  description = "What API Gateway calls it by."
  type        = string
}

variable "requests_per_second" {
  description = "Steady rate of connecting, and of what clients say, each."
  type        = number
}

variable "requests_burst" {
  description = "Let through at once above the steady rate."
  type        = number
}
