output "ingress" {
  description = "Where the gateway reaches servers"
  value       = "https://${var.gateway.ingress}"
}
