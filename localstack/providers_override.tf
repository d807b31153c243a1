# Has an example's root module make its things in LocalStack (compose.yaml, profile aws). Copy it beside the example's main.tf:
# the modules know nothing of it.
provider "aws" {
  region                      = "eu-central-1"
  access_key                  = "test"
  secret_key                  = "test"
  skip_credentials_validation = true
  skip_metadata_api_check     = true
  skip_requesting_account_id  = true
  s3_use_path_style           = true

  endpoints {
    dynamodb       = "http://127.0.0.1:4566"
    iam            = "http://127.0.0.1:4566"
    kms            = "http://127.0.0.1:4566"
    s3             = "http://127.0.0.1:4566"
    secretsmanager = "http://127.0.0.1:4566"
    sts            = "http://127.0.0.1:4566"
  }
}
