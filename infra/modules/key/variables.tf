variable "name" {
  description = "The installation's name; the key's alias is made of it."
  type        = string
}

variable "deletion_window_days" {
  description = "Days between asking for the key's deletion and losing it, 7 to 30."
  type        = number
}
