variable "project" {
  description = "Google Cloud project, by id."
  type        = string
}

variable "names" {
  description = "APIs to switch on."
  type        = list(string)
}

resource "google_project_service" "this" {
  for_each           = toset(var.names)
  project            = var.project
  service            = each.value
  disable_on_destroy = false # others in the project may use it
}
