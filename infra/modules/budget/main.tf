variable "project" {
  description = "Google Cloud project, by id."
  type        = string
}

variable "billing_account" {
  description = "That pays for the project."
  type        = string
}

variable "amount" {
  description = "A month, in whole units of the account's currency."
  type        = number
}

variable "emails" {
  description = "Who is told, besides the billing administrators."
  type        = set(string)
}

data "google_project" "this" {
  project_id = var.project
}

resource "google_monitoring_notification_channel" "email" {
  for_each     = var.emails
  display_name = each.value
  type         = "email"
  labels       = { email_address = each.value }
}

resource "google_billing_budget" "this" {
  billing_account = var.billing_account
  display_name    = "pagemill in ${var.project}"

  budget_filter {
    projects = ["projects/${data.google_project.this.number}"]
  }

  amount {
    specified_amount {
      units = var.amount
    }
  }

  dynamic "threshold_rules" {
    for_each = [0.5, 0.9, 1.0]
    content {
      threshold_percent = threshold_rules.value
    }
  }

  threshold_rules {
    threshold_percent = 1.0
    spend_basis       = "FORECASTED_SPEND"
  }

  all_updates_rule {
    monitoring_notification_channels = [for each in google_monitoring_notification_channel.email : each.id]
    disable_default_iam_recipients   = false
  }
}
