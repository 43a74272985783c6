variable "name" {
  description = "The API's name."
  type        = string
}

variable "functions" {
  description = "The functions behind the API, and the routes that lead to each."
  type = map(object({
    function_name = string
    invoke_arn    = string
    routes        = list(string)
  }))
}

variable "requests_per_second" {
  description = "Steady rate over all routes, beyond which callers get 429."
  type        = number
}

variable "requests_burst" {
  description = "Requests let through at once above the steady rate."
  type        = number
}

variable "log_retention_days" {
  description = "Days access logs are kept."
  type        = number
}
