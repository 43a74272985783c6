variable "name" {
  description = "The bucket's name, unique in all of AWS."
  type        = string
}

variable "force_destroy" {
  description = "Whether destroying the stack may delete what the bucket holds."
  type        = bool
}

variable "noncurrent_days" {
  description = "Days an overwritten version is kept."
  type        = number
}

variable "tls_only" {
  description = "Whether requests without TLS are refused."
  type        = bool
}

variable "distribution" {
  description = "Whether a distribution reads the bucket, and its ARN."
  type = object({
    reads = bool
    arn   = string
  })
  default = { reads = false, arn = null }
}
