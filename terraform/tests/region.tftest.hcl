# A region that lacks a service is refused before anything is made.

provider "aws" {
  region = "il-central-1"
}

run "no_function_urls" {
  command         = plan
  expect_failures = [aws_lambda_function_url.this]
}

run "rest_api_instead" {
  command = plan
  variables {
    front = "rest"
  }
}
