# A distribution in front of the bucket, for SDKs far from its region. It answers only what is signed: SDKs exchange their keys for
# passes at the function evaluate, which signs them with a key that never leaves KMS.
resource "aws_kms_key" "this" {
  description              = "FlagForge passes of ${var.name}"
  customer_master_key_spec = "ECC_NIST_P256"
  key_usage                = "SIGN_VERIFY"
  deletion_window_in_days  = var.deletion_window_days
}

data "aws_kms_public_key" "this" {
  key_id = aws_kms_key.this.arn
}

resource "aws_cloudfront_public_key" "this" {
  name_prefix = "${var.name}-"
  comment     = "Passes of ${var.name}"
  encoded_key = data.aws_kms_public_key.this.public_key_pem

  # A key is replaced in the group before it goes.
  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_cloudfront_key_group" "this" {
  name    = var.name
  comment = "Who signs passes of ${var.name}"
  items   = [aws_cloudfront_public_key.this.id]
}

resource "aws_cloudfront_origin_access_control" "this" {
  name                              = var.name
  description                       = "Manifests of ${var.name}"
  origin_access_control_origin_type = "s3"
  signing_behavior                  = "always"
  signing_protocol                  = "sigv4"
}

# A root is asked for again each time: the bucket answers that nothing changed. What an object says by Cache-Control goes first.
resource "aws_cloudfront_cache_policy" "roots" {
  name        = "${var.name}-roots"
  min_ttl     = 0
  default_ttl = 0
  max_ttl     = 31536000
  parameters_in_cache_key_and_forwarded_to_origin {
    cookies_config {
      cookie_behavior = "none"
    }
    headers_config {
      header_behavior = "none"
    }
    # The signature is in the query, and CloudFront takes it off; nothing else of a query reaches the bucket.
    query_strings_config {
      query_string_behavior = "none"
    }
  }
}

# A chunk's name is its digest: it never changes. After a day it is fetched again, so that what was swept is nowhere for long.
resource "aws_cloudfront_cache_policy" "chunks" {
  name        = "${var.name}-chunks"
  min_ttl     = 0
  default_ttl = 86400
  max_ttl     = 86400
  parameters_in_cache_key_and_forwarded_to_origin {
    cookies_config {
      cookie_behavior = "none"
    }
    headers_config {
      header_behavior = "none"
    }
    query_strings_config {
      query_string_behavior = "none"
    }
  }
}

resource "aws_cloudfront_distribution" "this" {
  comment         = "Manifests of ${var.name}"
  enabled         = true
  is_ipv6_enabled = true
  http_version    = "http2and3"
  price_class     = var.price_class

  origin {
    origin_id                = "manifests"
    domain_name              = var.bucket_domain_name
    origin_access_control_id = aws_cloudfront_origin_access_control.this.id
  }

  ordered_cache_behavior {
    path_pattern           = "*/chunks/*"
    target_origin_id       = "manifests"
    viewer_protocol_policy = "https-only"
    allowed_methods        = ["GET", "HEAD"]
    cached_methods         = ["GET", "HEAD"]
    cache_policy_id        = aws_cloudfront_cache_policy.chunks.id
    trusted_key_groups     = [aws_cloudfront_key_group.this.id]
  }

  default_cache_behavior {
    target_origin_id       = "manifests"
    viewer_protocol_policy = "https-only"
    allowed_methods        = ["GET", "HEAD"]
    cached_methods         = ["GET", "HEAD"]
    cache_policy_id        = aws_cloudfront_cache_policy.roots.id
    trusted_key_groups     = [aws_cloudfront_key_group.this.id]
  }

  restrictions {
    geo_restriction {
      restriction_type = "none"
    }
  }

  viewer_certificate {
    cloudfront_default_certificate = true
  }
}
