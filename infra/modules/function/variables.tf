variable "installation" {
  description = "The installation's name; the function is <installation>-<name>."
  type        = string
}

variable "name" {
  description = "The function's word: its folder, package, log group and role."
  type        = string
}

variable "description" {
  description = "What the function does, in a sentence."
  type        = string
}

variable "packages" {
  description = "The folder cargo lambda wrote to, holding <name>/bootstrap.zip."
  type        = string
}

variable "architecture" {
  description = "arm64 or x86_64: what the packages were built for."
  type        = string
}

variable "policy" {
  description = "What the function may do besides logging, as a policy document."
  type        = string
}

variable "org_policy" {
  description = "What the function may do in a session for one organization, if it acts for any: a policy document. The session's own policy says for whose partitions."
  type        = object({ json = string })
  default     = null
}

variable "environment" {
  description = "Environment variables."
  type        = map(string)
}

variable "memory_mb" {
  description = "Memory; CPU comes in proportion, one core at 1769."
  type        = number
  default     = 512
}

variable "timeout_seconds" {
  description = "Longest run of one invocation."
  type        = number
}

variable "reserved_concurrency" {
  description = "Most invocations at once; -1 for no bound of its own."
  type        = number
  default     = -1
}

variable "log_retention_days" {
  description = "Days logs are kept."
  type        = number
}

variable "log_filter" {
  description = "What is logged, in tracing's EnvFilter syntax."
  type        = string
  default     = "info"
}
