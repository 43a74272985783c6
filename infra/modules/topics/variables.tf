variable "name" {
  description = "The installation's name."
  type        = string
}
