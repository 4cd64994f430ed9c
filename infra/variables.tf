variable "project" {
  description = "Google Cloud project, by id."
  type        = string
}

variable "region" {
  description = "Where everything lies; it must have A100 GPUs."
  type        = string
  default     = "us-central1"
}

variable "zones" {
  description = "Zones of the region that have A100 GPUs, for the cluster."
  type        = list(string)
  default     = ["us-central1-a", "us-central1-c", "us-central1-f"]
}

variable "bucket" {
  description = "Name of the bucket for store, runs and sources; unique in the world. Empty for pagemill-<project>."
  type        = string
  default     = ""
}

variable "prefix" {
  description = "What names of resources begin with."
  type        = string
  default     = "pagemill"
}

variable "labels" {
  description = "On every resource, for the bill."
  type        = map(string)
  default     = {}
}

variable "secrets" {
  description = "Names of the secrets that tasks read. Terraform makes them empty: add their values by hand."
  type        = set(string)
  default     = ["hf-token", "archive-passwords"]
}

variable "submitters" {
  description = "Who may submit runs: members such as user:ann@example.org or group:books@example.org."
  type        = set(string)
  default     = []
}

variable "with_cluster" {
  description = "Whether to make a GKE cluster for Kubeflow Pipelines."
  type        = bool
  default     = false
}

variable "cluster_admins" {
  description = "Networks (CIDR) that may reach the cluster's control plane, by name."
  type        = map(string)
  default     = {}
}

variable "max_gpu_nodes" {
  description = "A100 nodes that the cluster may have in each zone at most; it keeps none when there is no work."
  type        = number
  default     = 8
}

variable "with_endpoint" {
  description = "Whether to make a Vertex AI endpoint; it costs nothing until a model is deployed to it."
  type        = bool
  default     = false
}

variable "api_image" {
  description = "Image of the API on Cloud Run, with its digest. Empty for no API."
  type        = string
  default     = ""
}

variable "billing_account" {
  description = "Billing account, for a budget with alerts. Empty for none."
  type        = string
  default     = ""
}

variable "monthly_budget" {
  description = "Of the project, in whole units of the billing account's currency."
  type        = number
  default     = 500
}

variable "alert_emails" {
  description = "Who is told when the budget is nearly spent; the billing administrators are told in any case."
  type        = set(string)
  default     = []
}
