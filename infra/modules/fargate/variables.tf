variable "name" {
  description = "What everything made here is called."
  type        = string
  default     = "flagforge-relay"
}

variable "image" {
  description = "The relay's image, with its tag or digest (relay/Containerfile)."
  type        = string
}

variable "connection_secret_arn" {
  description = "The secret in Secrets Manager whose text is the connection string, with a key of kind relay."
  type        = string
}

variable "vpc_id" {
  description = "The network in which the relays stand."
  type        = string
}

variable "subnets" {
  description = "Subnets of the relays, in two zones at least; they must reach the origin, Secrets Manager and the image."
  type        = list(string)

  validation {
    condition     = length(var.subnets) >= 2
    error_message = "Name subnets in two zones at least: one zone may fail."
  }
}

variable "load_balancer_subnets" {
  description = "Subnets of the load balancer, in two zones at least."
  type        = list(string)

  validation {
    condition     = length(var.load_balancer_subnets) >= 2
    error_message = "Name subnets in two zones at least: a load balancer needs them."
  }
}

variable "internal" {
  description = "Whether the load balancer has addresses of the network only. Pages in browsers need a public one."
  type        = bool
  default     = true
}

variable "certificate_arn" {
  description = "The certificate that the load balancer shows."
  type        = string
}

variable "callers" {
  description = "Networks from which relays may be asked, as CIDR."
  type        = list(string)
}

variable "architecture" {
  description = "What the image is built for: ARM64 or X86_64."
  type        = string
  default     = "ARM64"

  validation {
    condition     = contains(["ARM64", "X86_64"], var.architecture)
    error_message = "Fargate knows ARM64 and X86_64."
  }
}

variable "cpu" {
  description = "CPU units of a relay; 1,024 are one processor."
  type        = number
  default     = 512
}

variable "memory" {
  description = "MiB of a relay: 12,000 streams of 30 KB each, 64 MiB of chunks, and manifests."
  type        = number
  default     = 1024
}

variable "least" {
  description = "How many relays there are at least."
  type        = number
  default     = 2
}

variable "most" {
  description = "How many relays there are at most."
  type        = number
  default     = 10
}

variable "log_retention_days" {
  description = "How long logs are kept."
  type        = number
  default     = 30
}
