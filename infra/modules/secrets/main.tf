variable "names" {
  description = "Of the secrets."
  type        = set(string)
}

variable "readers" {
  description = "Members who may read them."
  type        = list(string)
}

variable "location" {
  description = "Region that holds them."
  type        = string
}

variable "labels" {
  description = "For the bill."
  type        = map(string)
}

locals {
  grants = { for each in setproduct(var.names, range(length(var.readers))) : "${each[0]} ${each[1]}" => each }
}

# Without a version: the value never passes through Terraform's state.
#   gcloud secrets versions add hf-token --data-file=-
resource "google_secret_manager_secret" "this" {
  for_each  = var.names
  secret_id = each.value
  labels    = var.labels

  replication {
    user_managed {
      replicas {
        location = var.location
      }
    }
  }
}

resource "google_secret_manager_secret_iam_member" "reader" {
  for_each  = local.grants
  secret_id = google_secret_manager_secret.this[each.value[0]].id
  role      = "roles/secretmanager.secretAccessor"
  member    = var.readers[each.value[1]]
}

output "references" {
  description = "By name, what pagemill calls each secret."
  value       = { for name, each in google_secret_manager_secret.this : name => "secret:${each.id}" }
}
