variable "name" {
  description = "The installation's name; what is made here begins with it."
  type        = string
}

variable "bucket_domain_name" {
  description = "The bucket's regional domain name."
  type        = string
}

variable "deletion_window_days" {
  description = "Days between asking for the key's deletion and losing it, 7 to 30."
  type        = number
}

variable "price_class" {
  description = "Where the distribution answers from: PriceClass_100, PriceClass_200 or PriceClass_All."
  type        = string
  default     = "PriceClass_100"
}
