variable "name" {
  description = "Of the endpoint, for people."
  type        = string
}

variable "region" {
  description = "Where it lies."
  type        = string
}

variable "labels" {
  description = "For the bill."
  type        = map(string)
}

# Empty: the pipeline deploy-nougat puts a model on GPUs behind it, undeploy-nougat takes them away.
resource "google_vertex_ai_endpoint" "this" {
  #checkov:skip=CKV2_GCP_24:nothing is stored at the endpoint; pages pass through it
  #checkov:skip=CKV2_GCP_33:a private endpoint is out of reach of those who submit; callers need a role all the same
  name         = var.name
  display_name = var.name
  location     = var.region
  region       = var.region
  labels       = var.labels
}

output "id" {
  description = "Resource name of the endpoint."
  value       = google_vertex_ai_endpoint.this.id
}
