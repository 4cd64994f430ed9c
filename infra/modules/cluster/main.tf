variable "project" {
  description = "Google Cloud project, by id."
  type        = string
}

variable "name" {
  description = "Of the cluster."
  type        = string
}

variable "region" {
  description = "Where it runs."
  type        = string
}

variable "zones" {
  description = "Zones of the region that have A100 GPUs."
  type        = list(string)
}

variable "tasks_account" {
  description = "Resource name of the account that tasks run as."
  type        = string
}

variable "nodes_account" {
  description = "Account that nodes run as."
  type        = string
}

variable "admin_networks" {
  description = "Networks (CIDR) that may reach the control plane, by name."
  type        = map(string)
}

variable "max_gpu_nodes" {
  description = "In each zone."
  type        = number
}

variable "labels" {
  description = "For the bill."
  type        = map(string)
}

variable "namespace" {
  description = "Of Kubeflow Pipelines."
  type        = string
  default     = "kubeflow"
}

variable "task_account_in_cluster" {
  description = "Kubernetes service account that Kubeflow Pipelines runs tasks as."
  type        = string
  default     = "pipeline-runner"
}

locals {
  pools = {
    cpu = { machine = "e2-standard-8", disk_gb = 100, min = 1, max = 6, spot = false, gpus = 0 }
    gpu = { machine = "a2-highgpu-1g", disk_gb = 500, min = 0, max = var.max_gpu_nodes, spot = true, gpus = 1 }
  }
}

resource "google_compute_network" "this" {
  #checkov:skip=CKV2_GCP_18:GKE makes the firewall rules that its nodes need; there are no others, so nothing gets in
  name                    = var.name
  auto_create_subnetworks = false
}

resource "google_compute_subnetwork" "this" {
  name                     = var.name
  region                   = var.region
  network                  = google_compute_network.this.id
  ip_cidr_range            = "10.10.0.0/20"
  private_ip_google_access = true

  secondary_ip_range {
    range_name    = "pods"
    ip_cidr_range = "10.20.0.0/16"
  }

  secondary_ip_range {
    range_name    = "services"
    ip_cidr_range = "10.30.0.0/20"
  }

  log_config {
    aggregation_interval = "INTERVAL_10_MIN"
    flow_sampling        = 0.1
    metadata             = "EXCLUDE_ALL_METADATA"
  }
}

# Nodes have no public addresses; this is how they reach archives that lie outside of Google Cloud, and the Hub.
resource "google_compute_router" "this" {
  name    = var.name
  region  = var.region
  network = google_compute_network.this.id
}

resource "google_compute_router_nat" "this" {
  name                               = var.name
  region                             = var.region
  router                             = google_compute_router.this.name
  nat_ip_allocate_option             = "AUTO_ONLY"
  source_subnetwork_ip_ranges_to_nat = "ALL_SUBNETWORKS_ALL_IP_RANGES"
}

resource "google_container_cluster" "this" {
  #checkov:skip=CKV_GCP_12:Dataplane V2 enforces network policies itself
  #checkov:skip=CKV_GCP_65:groups of administrators need a Google Workspace, which not every project has
  #checkov:skip=CKV_GCP_66:images are pinned by digest at submission; attestors would be a service of their own
  name                     = var.name
  location                 = var.region
  node_locations           = var.zones
  network                  = google_compute_network.this.id
  subnetwork               = google_compute_subnetwork.this.id
  remove_default_node_pool = true
  initial_node_count       = 1
  deletion_protection      = false
  resource_labels          = var.labels
  enable_shielded_nodes    = true
  datapath_provider        = "ADVANCED_DATAPATH" # network policies

  enable_intranode_visibility = true

  # The pool that is removed at once would otherwise run as the project's default account.
  node_config {
    service_account = var.nodes_account

    workload_metadata_config {
      mode = "GKE_METADATA"
    }

    shielded_instance_config {
      enable_secure_boot          = true
      enable_integrity_monitoring = true
    }
  }

  workload_identity_config {
    workload_pool = "${var.project}.svc.id.goog"
  }

  ip_allocation_policy {
    cluster_secondary_range_name  = "pods"
    services_secondary_range_name = "services"
  }

  private_cluster_config {
    enable_private_nodes    = true
    enable_private_endpoint = false
    master_ipv4_cidr_block  = "172.16.0.0/28"
  }

  master_authorized_networks_config {
    dynamic "cidr_blocks" {
      for_each = var.admin_networks
      content {
        display_name = cidr_blocks.key
        cidr_block   = cidr_blocks.value
      }
    }
  }

  master_auth {
    client_certificate_config {
      issue_client_certificate = false
    }
  }

  release_channel {
    channel = "REGULAR"
  }

  addons_config {
    gcs_fuse_csi_driver_config {
      enabled = true
    }
  }

  # So that the bill is split by the labels of pods.
  cost_management_config {
    enabled = true
  }
}

resource "google_container_node_pool" "this" {
  for_each       = local.pools
  name           = each.key
  cluster        = google_container_cluster.this.id
  node_locations = var.zones

  autoscaling {
    min_node_count  = each.value.min
    max_node_count  = each.value.max
    location_policy = each.value.spot ? "ANY" : "BALANCED"
  }

  management {
    auto_repair  = true
    auto_upgrade = true
  }

  node_config {
    machine_type    = each.value.machine
    disk_type       = "pd-ssd"
    disk_size_gb    = each.value.disk_gb
    image_type      = "COS_CONTAINERD"
    spot            = each.value.spot
    service_account = var.nodes_account
    oauth_scopes    = ["https://www.googleapis.com/auth/cloud-platform"] # what it may do is said by its roles
    labels          = { pool = each.key }
    resource_labels = var.labels

    dynamic "guest_accelerator" {
      for_each = each.value.gpus > 0 ? [each.value.gpus] : []
      content {
        type  = "nvidia-tesla-a100"
        count = guest_accelerator.value
        gpu_driver_installation_config {
          gpu_driver_version = "DEFAULT"
        }
      }
    }

    # GKE itself keeps tasks without GPUs off nodes that have some; this keeps them off nodes that may vanish.
    dynamic "taint" {
      for_each = each.value.spot ? ["cloud.google.com/gke-spot"] : []
      content {
        key    = taint.value
        value  = "true"
        effect = "NO_SCHEDULE"
      }
    }

    workload_metadata_config {
      mode = "GKE_METADATA"
    }

    shielded_instance_config {
      enable_secure_boot          = true
      enable_integrity_monitoring = true
    }
  }
}

# Tasks in the cluster are this account, without a key.
resource "google_service_account_iam_member" "tasks" {
  service_account_id = var.tasks_account
  role               = "roles/iam.workloadIdentityUser"
  member             = "serviceAccount:${var.project}.svc.id.goog[${var.namespace}/${var.task_account_in_cluster}]"
  depends_on         = [google_container_cluster.this]
}

output "credentials_command" {
  description = "Lets kubectl reach the cluster."
  value       = "gcloud container clusters get-credentials ${var.name} --region ${var.region} --project ${var.project}"
}
