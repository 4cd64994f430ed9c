variable "name" {
  description = "Of the repository."
  type        = string
}

variable "location" {
  description = "Region, the same as that of the runs."
  type        = string
}

variable "labels" {
  description = "For the bill."
  type        = map(string)
}

resource "google_artifact_registry_repository" "this" {
  #checkov:skip=CKV_GCP_84:the images are public code; Google's own encryption at rest is enough
  repository_id = var.name
  location      = var.location
  format        = "DOCKER"
  description   = "Images of pagemill"
  labels        = var.labels

  # A tag names one image for ever: tasks are cached under it.
  docker_config {
    immutable_tags = true
  }

  cleanup_policies {
    id     = "untagged"
    action = "DELETE"
    condition {
      tag_state  = "UNTAGGED"
      older_than = "2592000s"
    }
  }
}

output "id" {
  description = "Resource name of the repository."
  value       = google_artifact_registry_repository.this.id
}

output "url" {
  description = "What the names of images begin with."
  value       = "${var.location}-docker.pkg.dev/${google_artifact_registry_repository.this.project}/${var.name}"
}
