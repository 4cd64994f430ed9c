variable "project" {
  description = "Google Cloud project, by id."
  type        = string
}

variable "prefix" {
  description = "What the accounts' names begin with."
  type        = string
}

variable "bucket" {
  description = "Bucket of store and runs."
  type        = string
}

variable "repository" {
  description = "Resource name of the repository of images."
  type        = string
}

variable "submitters" {
  description = "Members who may submit runs."
  type        = set(string)
}

locals {
  # To submit, and to look beforehand whether APIs, quota and roles are there.
  submitting = [
    "roles/aiplatform.user",
    "roles/cloudquotas.viewer",
    "roles/iam.securityReviewer",
    "roles/serviceusage.serviceUsageConsumer",
  ]

  # What each account may do, and no more. Buckets, images and secrets are granted one by one, not in the project.
  accounts = {
    tasks     = "Runs the pipelines' tasks"
    submitter = "Submits and schedules runs"
    nodes     = "Runs the cluster's nodes"
  }
  project_roles = {
    tasks     = ["roles/aiplatform.user", "roles/logging.logWriter"]
    submitter = local.submitting
    nodes     = ["roles/container.defaultNodeServiceAccount"]
  }
  grants = merge([
    for account, roles in local.project_roles : {
      for role in roles : "${account} ${role}" => { account = account, role = role }
    }
  ]...)
  readers_of_images = ["tasks", "nodes"]
  writers_to_bucket = ["tasks", "submitter"]
  acting_as_tasks = setunion(
    var.submitters,
    [for account in ["submitter", "tasks"] : google_service_account.this[account].member],
  )
}

resource "google_service_account" "this" {
  for_each     = local.accounts
  account_id   = "${var.prefix}-${each.key}"
  display_name = each.value
}

resource "google_project_iam_member" "account" {
  for_each = local.grants
  project  = var.project
  role     = each.value.role
  member   = google_service_account.this[each.value.account].member
}

resource "google_project_iam_member" "submitter" {
  for_each = { for each in setproduct(var.submitters, local.submitting) : join(" ", each) => each }
  project  = var.project
  role     = each.value[1]
  member   = each.value[0]
}

resource "google_storage_bucket_iam_member" "account" {
  for_each = toset(local.writers_to_bucket)
  bucket   = var.bucket
  role     = "roles/storage.objectUser"
  member   = google_service_account.this[each.value].member
}

resource "google_storage_bucket_iam_member" "submitter" {
  for_each = var.submitters
  bucket   = var.bucket
  role     = "roles/storage.objectUser"
  member   = each.value
}

resource "google_artifact_registry_repository_iam_member" "reader" {
  for_each   = toset(local.readers_of_images)
  repository = var.repository
  role       = "roles/artifactregistry.reader"
  member     = google_service_account.this[each.value].member
}

# A task that starts a job of its own (the reading on GPUs) runs it as itself.
resource "google_service_account_iam_member" "acts_as_tasks" {
  for_each           = local.acting_as_tasks
  service_account_id = google_service_account.this["tasks"].name
  role               = "roles/iam.serviceAccountUser"
  member             = each.value
}

output "tasks_name" {
  description = "Resource name of the account that tasks run as."
  value       = google_service_account.this["tasks"].name
}

output "tasks_email" {
  description = "Account that tasks run as."
  value       = google_service_account.this["tasks"].email
}

output "tasks_member" {
  description = "The same, as policies name it."
  value       = google_service_account.this["tasks"].member
}

output "submitter_email" {
  description = "Account that submits runs."
  value       = google_service_account.this["submitter"].email
}

output "nodes_email" {
  description = "Account that the cluster's nodes run as."
  value       = google_service_account.this["nodes"].email
}
