# The rules of Terraform's language that come with tflint, all of them. Amazon's own, which know instance types and such, are a
# plugin that no registry of packages has.
plugin "terraform" {
  enabled = true
  preset  = "all"
}

# Files are named for what they make, and each module says its versions where it says its providers.
rule "terraform_standard_module_structure" {
  enabled = false
}
