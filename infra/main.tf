locals {
  bucket = var.bucket != "" ? var.bucket : "pagemill-${var.project}"
  labels = merge({ app = "pagemill" }, var.labels)
}

module "services" {
  source  = "./modules/services"
  project = var.project
  names = concat(
    [
      "aiplatform.googleapis.com",
      "artifactregistry.googleapis.com",
      "cloudbuild.googleapis.com",
      "cloudquotas.googleapis.com",
      "cloudresourcemanager.googleapis.com",
      "compute.googleapis.com",
      "iam.googleapis.com",
      "iamcredentials.googleapis.com",
      "secretmanager.googleapis.com",
      "serviceusage.googleapis.com",
      "storage.googleapis.com",
    ],
    var.with_cluster ? ["container.googleapis.com"] : [],
    var.api_image != "" ? ["run.googleapis.com"] : [],
    var.billing_account != "" ? ["billingbudgets.googleapis.com", "monitoring.googleapis.com"] : [],
  )
}

module "bucket" {
  source     = "./modules/bucket"
  name       = local.bucket
  location   = var.region
  labels     = local.labels
  depends_on = [module.services]
}

module "registry" {
  source     = "./modules/registry"
  name       = var.prefix
  location   = var.region
  labels     = local.labels
  depends_on = [module.services]
}

module "accounts" {
  source     = "./modules/accounts"
  project    = var.project
  prefix     = var.prefix
  bucket     = module.bucket.name
  repository = module.registry.id
  submitters = var.submitters
  depends_on = [module.services]
}

module "secrets" {
  source     = "./modules/secrets"
  names      = var.secrets
  readers    = [module.accounts.tasks_member]
  location   = var.region
  labels     = local.labels
  depends_on = [module.services]
}

module "cluster" {
  source         = "./modules/cluster"
  count          = var.with_cluster ? 1 : 0
  project        = var.project
  name           = var.prefix
  region         = var.region
  zones          = var.zones
  tasks_account  = module.accounts.tasks_name
  nodes_account  = module.accounts.nodes_email
  admin_networks = var.cluster_admins
  max_gpu_nodes  = var.max_gpu_nodes
  labels         = local.labels
  depends_on     = [module.services]
}

module "endpoint" {
  source     = "./modules/endpoint"
  count      = var.with_endpoint ? 1 : 0
  name       = "${var.prefix}-nougat"
  region     = var.region
  labels     = local.labels
  depends_on = [module.services]
}

module "api" {
  source     = "./modules/api"
  count      = var.api_image != "" ? 1 : 0
  name       = "${var.prefix}-api"
  region     = var.region
  image      = var.api_image
  account    = module.accounts.submitter_email
  callers    = var.submitters
  labels     = local.labels
  depends_on = [module.services]
}

module "budget" {
  source          = "./modules/budget"
  count           = var.billing_account != "" ? 1 : 0
  project         = var.project
  billing_account = var.billing_account
  amount          = var.monthly_budget
  emails          = var.alert_emails
  depends_on      = [module.services]
}
