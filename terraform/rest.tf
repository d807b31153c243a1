# A streaming REST API for each function that CloudFront reaches, instead of function URLs. It is asked by CloudFront only, as
# those are: whoever lacks the origin's secret is refused.

locals {
  stage = "mcp"
  apis  = var.front == "rest" ? local.faced : toset([])
}

resource "aws_api_gateway_rest_api" "this" {
  for_each           = local.apis
  name               = local.functions[each.key].name
  description        = "Streams from ${local.functions[each.key].name}"
  binary_media_types = ["*/*"] # bodies as they are
  tags               = local.tags
  endpoint_configuration {
    types = ["REGIONAL"] # where an idle stream lasts 5 minutes and not 30 seconds
  }
}

resource "aws_api_gateway_resource" "all" {
  for_each    = local.apis
  rest_api_id = aws_api_gateway_rest_api.this[each.key].id
  parent_id   = aws_api_gateway_rest_api.this[each.key].root_resource_id
  path_part   = "{proxy+}"
}

resource "aws_api_gateway_method" "all" {
  for_each         = local.apis
  rest_api_id      = aws_api_gateway_rest_api.this[each.key].id
  resource_id      = aws_api_gateway_resource.all[each.key].id
  http_method      = "ANY"
  authorization    = "NONE"
  api_key_required = false
}

resource "aws_api_gateway_integration" "all" {
  for_each                = local.apis
  rest_api_id             = aws_api_gateway_rest_api.this[each.key].id
  resource_id             = aws_api_gateway_resource.all[each.key].id
  http_method             = aws_api_gateway_method.all[each.key].http_method
  type                    = "AWS_PROXY"
  integration_http_method = "POST"
  response_transfer_mode  = "STREAM"
  timeout_milliseconds    = min(900, local.functions[each.key].timeout) * 1000
  uri                     = "arn:${local.partition}:apigateway:${local.region}:lambda:path/2021-11-15/functions/${local.functions[each.key].arn}/response-streaming-invocations"
}

resource "aws_api_gateway_deployment" "this" {
  for_each    = local.apis
  rest_api_id = aws_api_gateway_rest_api.this[each.key].id
  triggers = {
    of = sha256(jsonencode([aws_api_gateway_integration.all[each.key].uri, aws_api_gateway_integration.all[each.key].timeout_milliseconds]))
  }
  lifecycle {
    create_before_destroy = true
  }
  depends_on = [aws_api_gateway_integration.all]
}

resource "aws_api_gateway_stage" "this" {
  for_each      = local.apis
  rest_api_id   = aws_api_gateway_rest_api.this[each.key].id
  deployment_id = aws_api_gateway_deployment.this[each.key].id
  stage_name    = local.stage
  tags          = local.tags
}

resource "aws_lambda_permission" "rest" {
  for_each      = local.apis
  statement_id  = "ItsRESTAPIOnly"
  function_name = aws_lambda_function.this[each.key].function_name
  action        = "lambda:InvokeFunction"
  principal     = "apigateway.amazonaws.com"
  source_arn    = "arn:${local.partition}:execute-api:${local.region}:${local.account}:${aws_api_gateway_rest_api.this[each.key].id}/*/*/*"
}
