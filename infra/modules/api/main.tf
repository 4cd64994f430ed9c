variable "name" {
  description = "Of the service."
  type        = string
}

variable "region" {
  description = "Where it runs."
  type        = string
}

variable "image" {
  description = "With its digest."
  type        = string
}

variable "account" {
  description = "Service account that it runs as."
  type        = string
}

variable "callers" {
  description = "Members who may call it; nobody else may."
  type        = set(string)
}

variable "labels" {
  description = "For the bill."
  type        = map(string)
}

resource "google_cloud_run_v2_service" "this" {
  name                = var.name
  location            = var.region
  ingress             = "INGRESS_TRAFFIC_ALL"
  deletion_protection = false
  labels              = var.labels

  template {
    service_account = var.account

    scaling {
      min_instance_count = 0
      max_instance_count = 2
    }

    containers {
      image = var.image

      resources {
        limits = {
          cpu    = "1"
          memory = "1Gi"
        }
        cpu_idle = true
      }
    }
  }
}

resource "google_cloud_run_v2_service_iam_member" "caller" {
  for_each = var.callers
  name     = google_cloud_run_v2_service.this.name
  location = var.region
  role     = "roles/run.invoker"
  member   = each.value
}

output "url" {
  description = "Of the service."
  value       = google_cloud_run_v2_service.this.uri
}
