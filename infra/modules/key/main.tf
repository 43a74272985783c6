# The online key. It certifies short-lived signing keys about once a day, and never leaves KMS.
resource "aws_kms_key" "this" {
  description              = "FlagForge online key of ${var.name}"
  customer_master_key_spec = "ECC_NIST_P256"
  key_usage                = "SIGN_VERIFY"
  deletion_window_in_days  = var.deletion_window_days
}

resource "aws_kms_alias" "this" {
  name          = "alias/${var.name}-online"
  target_key_id = aws_kms_key.this.key_id
}

data "aws_kms_public_key" "this" {
  key_id = aws_kms_key.this.arn
}
