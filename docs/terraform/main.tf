# The connector, a source and a connection in Airbyte, from the manifest of this repository. docs/quickstart.md explains it.
terraform {
  required_providers {
    airbyte = {
      source  = "airbytehq/airbyte"
      version = "~> 1.2"
    }
  }
}

# Where Airbyte is, and how to sign in there: see the documentation of the provider.
provider "airbyte" {}

variable "workspace_id" {
  type = string
}

variable "destination_id" {
  type = string
}

variable "domain_name" {
  type        = string
  description = "The Confluence site, such as example.atlassian.net."
}

variable "email" {
  type = string
}

variable "api_token" {
  type      = string
  sensitive = true
}

resource "airbyte_declarative_source_definition" "confluence" {
  name         = "Confluence Cloud"
  workspace_id = var.workspace_id
  manifest     = jsonencode(yamldecode(file("${path.module}/../../source_confluence/manifest.yaml")))
}

resource "airbyte_source" "confluence" {
  name          = "Confluence"
  workspace_id  = var.workspace_id
  definition_id = airbyte_declarative_source_definition.confluence.id

  configuration = jsonencode({
    domain_name = var.domain_name
    credentials = {
      auth_type = "api_token"
      email     = var.email
      api_token = var.api_token
    }
  })
}

resource "airbyte_connection" "confluence" {
  name           = "Confluence"
  source_id      = airbyte_source.confluence.source_id
  destination_id = var.destination_id

  configurations = {
    streams = [
      { name = "space", sync_mode = "full_refresh_overwrite" },
      { name = "page_index", sync_mode = "full_refresh_overwrite" },
      { name = "pages", sync_mode = "incremental_deduped_history" },
    ]
  }

  schedule = {
    schedule_type   = "cron"
    cron_expression = "0 0 3 * * ?"
  }
}
