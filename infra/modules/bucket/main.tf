variable "name" {
  description = "Of the bucket; unique in the world."
  type        = string
}

variable "location" {
  description = "Region, the same as that of the GPUs, so that nothing is paid for traffic."
  type        = string
}

variable "labels" {
  description = "For the bill."
  type        = map(string)
}

variable "lifecycle_days" {
  description = "By prefix: after how many days objects move to a colder class (NEARLINE, COLDLINE) or go (DELETE)."
  type        = map(object({ action = string, days = number }))
  default = {
    "store/raw/"       = { action = "COLDLINE", days = 30 } # archives are read once
    "store/pdf/"       = { action = "NEARLINE", days = 30 }
    "store/documents/" = { action = "NEARLINE", days = 180 }
    "runs/"            = { action = "DELETE", days = 90 } # artifacts of tasks: small, and the store has what matters
  }
}

resource "google_storage_bucket" "this" {
  #checkov:skip=CKV_GCP_62:who reads what is in Cloud Audit Logs, where access logs would only be repeated
  name                        = var.name
  location                    = var.location
  labels                      = var.labels
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  force_destroy               = false

  # Everything in the store is written once; a version is kept for a week against mistakes of people.
  versioning {
    enabled = true
  }

  lifecycle_rule {
    condition {
      num_newer_versions = 1
      age                = 7
      with_state         = "ARCHIVED"
    }
    action {
      type = "Delete"
    }
  }

  lifecycle_rule {
    condition {
      age = 1
    }
    action {
      type = "AbortIncompleteMultipartUpload"
    }
  }

  dynamic "lifecycle_rule" {
    for_each = var.lifecycle_days
    content {
      condition {
        age            = lifecycle_rule.value.days
        matches_prefix = [lifecycle_rule.key]
      }
      action {
        type          = lifecycle_rule.value.action == "DELETE" ? "Delete" : "SetStorageClass"
        storage_class = lifecycle_rule.value.action == "DELETE" ? null : lifecycle_rule.value.action
      }
    }
  }
}

output "name" {
  description = "Of the bucket."
  value       = google_storage_bucket.this.name
}
