output "pagemill_toml" {
  description = "What pagemill.toml is to hold: terraform output -raw pagemill_toml > pagemill.toml"
  value       = <<-EOT
    bucket = "gs://${module.bucket.name}"
    hf_token = "${lookup(module.secrets.references, "hf-token", "env:HF_TOKEN")}"

    [vertex]
    project = "${var.project}"
    region = "${var.region}"
    service_account = "${module.accounts.tasks_email}"

    [images]
    registry = "${module.registry.url}"
  EOT
}

output "submitter" {
  description = "Account for machines that submit runs, such as a CI or the API."
  value       = module.accounts.submitter_email
}

output "cluster_credentials" {
  description = "Command that lets kubectl reach the cluster; empty without one."
  value       = var.with_cluster ? module.cluster[0].credentials_command : ""
}

output "endpoint" {
  description = "Resource name of the Vertex AI endpoint; empty without one."
  value       = var.with_endpoint ? module.endpoint[0].id : ""
}

output "api_url" {
  description = "Of the API; empty without one."
  value       = var.api_image != "" ? module.api[0].url : ""
}
