package terraformtest

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// A rule is one that only the real provider or AWS itself knows: the stub takes any text. Each is from the provider's
// documentation or the service's API reference.
type rule struct {
	at       string   // TYPE.ARGUMENT[.ARGUMENT...]
	oneOf    []string // enumeration
	form     string   // regular expression
	min, max float64  // range, where max is above 0
}

var rules = []rule{
	{at: "aws_lambda_function.runtime", oneOf: []string{"provided.al2023", "nodejs22.x"}},
	{at: "aws_lambda_function.architectures", oneOf: []string{"arm64", "x86_64"}},
	{at: "aws_lambda_function.function_name", form: `^[A-Za-z0-9_-]{1,64}$`},
	{at: "aws_lambda_function.memory_size", min: 128, max: 10240},
	{at: "aws_lambda_function.timeout", min: 1, max: 900},
	{at: "aws_lambda_function.logging_config.log_format", oneOf: []string{"JSON", "Text"}},
	{at: "aws_lambda_function_url.authorization_type", oneOf: []string{"NONE", "AWS_IAM"}},
	{at: "aws_lambda_function_url.invoke_mode", oneOf: []string{"BUFFERED", "RESPONSE_STREAM"}},
	{at: "aws_lambda_permission.action", form: `^lambda:(InvokeFunction|InvokeFunctionUrl)$`},
	{at: "aws_lambda_permission.function_url_auth_type", oneOf: []string{"NONE", "AWS_IAM"}},
	{at: "aws_lambda_permission.statement_id", form: `^[A-Za-z0-9_-]{1,100}$`},
	{at: "aws_lambda_function_event_invoke_config.maximum_retry_attempts", min: 0, max: 2},
	{at: "aws_lambda_function_event_invoke_config.maximum_event_age_in_seconds", min: 60, max: 21600},
	{at: "aws_dynamodb_table.billing_mode", oneOf: []string{"PAY_PER_REQUEST", "PROVISIONED"}},
	{at: "aws_dynamodb_table.attribute.type", oneOf: []string{"S", "N", "B"}},
	{at: "aws_dynamodb_table.name", form: `^[A-Za-z0-9._-]{3,255}$`},
	{at: "aws_dynamodb_table.global_secondary_index.projection_type", oneOf: []string{"ALL", "INCLUDE", "KEYS_ONLY"}},
	{at: "aws_glue_catalog_database.name", form: `^[a-z0-9_]{1,255}$`},
	{at: "aws_glue_catalog_table.table_type", oneOf: []string{"EXTERNAL_TABLE"}},
	{at: "aws_glue_catalog_table.storage_descriptor.columns.type", oneOf: []string{"string", "int", "bigint", "double"}},
	{at: "aws_s3_bucket.bucket", form: `^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`},
	{at: "aws_s3_bucket_ownership_controls.rule.object_ownership", oneOf: []string{"BucketOwnerEnforced", "BucketOwnerPreferred", "ObjectWriter"}},
	{at: "aws_s3_bucket_versioning.versioning_configuration.status", oneOf: []string{"Enabled", "Suspended", "Disabled"}},
	{at: "aws_s3_bucket_server_side_encryption_configuration.rule.apply_server_side_encryption_by_default.sse_algorithm", oneOf: []string{"AES256", "aws:kms", "aws:kms:dsse"}},
	{at: "aws_s3_bucket_lifecycle_configuration.rule.status", oneOf: []string{"Enabled", "Disabled"}},
	{at: "aws_kms_key.deletion_window_in_days", min: 7, max: 30},
	{at: "aws_kms_alias.name", form: `^alias/[A-Za-z0-9/_-]+$`},
	{at: "aws_iam_role.name", form: `^[\w+=,.@-]{1,64}$`},
	{at: "aws_iam_role_policy_attachment.policy_arn", form: `^arn:aws:iam::aws:policy/[A-Za-z0-9]+$`},
	{at: "aws_scheduler_schedule.schedule_expression", form: `^rate\((1 minute|([2-9]|[1-9][0-9]+) minutes)\)$`},
	{at: "aws_scheduler_schedule.flexible_time_window.mode", oneOf: []string{"OFF", "FLEXIBLE"}},
	{at: "aws_scheduler_schedule.target.retry_policy.maximum_event_age_in_seconds", min: 60, max: 86400},
	{at: "aws_scheduler_schedule.target.retry_policy.maximum_retry_attempts", min: 0, max: 185},
	{at: "aws_cloudwatch_event_rule.name", form: `^[A-Za-z0-9._-]{1,64}$`},
	{at: "aws_cloudwatch_event_target.retry_policy.maximum_event_age_in_seconds", min: 60, max: 86400},
	{at: "aws_cloudwatch_event_target.retry_policy.maximum_retry_attempts", min: 0, max: 185},
	{at: "aws_cloudfront_distribution.price_class", oneOf: []string{"PriceClass_All", "PriceClass_200", "PriceClass_100"}},
	{at: "aws_cloudfront_distribution.http_version", oneOf: []string{"http1.1", "http2", "http2and3", "http3"}},
	{at: "aws_cloudfront_distribution.origin.custom_origin_config.origin_protocol_policy", oneOf: []string{"http-only", "https-only", "match-viewer"}},
	{at: "aws_cloudfront_distribution.origin.custom_origin_config.origin_ssl_protocols", oneOf: []string{"TLSv1.2"}},
	{at: "aws_cloudfront_distribution.origin.custom_origin_config.origin_read_timeout", min: 1, max: 120},
	{at: "aws_cloudfront_distribution.origin.custom_origin_config.origin_keepalive_timeout", min: 1, max: 120},
	{at: "aws_cloudfront_distribution.default_cache_behavior.viewer_protocol_policy", oneOf: []string{"https-only", "redirect-to-https", "allow-all"}},
	{at: "aws_cloudfront_distribution.default_cache_behavior.allowed_methods", oneOf: []string{"GET", "HEAD", "OPTIONS", "PUT", "POST", "PATCH", "DELETE"}},
	{at: "aws_cloudfront_distribution.default_cache_behavior.lambda_function_association.event_type", oneOf: []string{"viewer-request", "origin-request", "viewer-response", "origin-response"}},
	{at: "aws_cloudfront_distribution.default_cache_behavior.function_association.event_type", oneOf: []string{"viewer-request", "viewer-response"}},
	{at: "aws_cloudfront_distribution.ordered_cache_behavior.viewer_protocol_policy", oneOf: []string{"https-only", "redirect-to-https", "allow-all"}},
	{at: "aws_cloudfront_distribution.ordered_cache_behavior.lambda_function_association.event_type", oneOf: []string{"viewer-request", "origin-request", "viewer-response", "origin-response"}},
	{at: "aws_cloudfront_distribution.restrictions.geo_restriction.restriction_type", oneOf: []string{"none", "whitelist", "blacklist"}},
	{at: "aws_cloudfront_distribution.viewer_certificate.ssl_support_method", oneOf: []string{"sni-only", "vip", "static-ip"}},
	{at: "aws_cloudfront_distribution.viewer_certificate.minimum_protocol_version", oneOf: []string{"TLSv1", "TLSv1.2_2021", "TLSv1.2_2025", "TLSv1.3_2025"}},
	{at: "aws_cloudfront_distribution.viewer_certificate.acm_certificate_arn", form: `^arn:aws:acm:us-east-1:[0-9]{12}:certificate/[0-9a-f-]{36}$`},
	{at: "aws_cloudfront_function.runtime", oneOf: []string{"cloudfront-js-1.0", "cloudfront-js-2.0"}},
	{at: "aws_cloudfront_function.name", form: `^[A-Za-z0-9_-]{1,64}$`},
	{at: "aws_api_gateway_rest_api.endpoint_configuration.types", oneOf: []string{"EDGE", "REGIONAL", "PRIVATE"}},
	{at: "aws_api_gateway_method.authorization", oneOf: []string{"NONE", "CUSTOM", "AWS_IAM", "COGNITO_USER_POOLS"}},
	{at: "aws_api_gateway_integration.type", oneOf: []string{"HTTP", "MOCK", "AWS", "AWS_PROXY", "HTTP_PROXY"}},
	{at: "aws_api_gateway_integration.response_transfer_mode", oneOf: []string{"BUFFERED", "STREAM"}},
	{at: "aws_api_gateway_integration.timeout_milliseconds", min: 50, max: 900000},
	{at: "aws_api_gateway_integration.uri", form: `^arn:aws:apigateway:[a-z0-9-]+:lambda:path/2021-11-15/functions/arn:aws:lambda:[a-z0-9-]+:[0-9]{12}:function:[\w-]+/response-streaming-invocations$`},
	{at: "aws_wafv2_web_acl.scope", oneOf: []string{"CLOUDFRONT", "REGIONAL"}},
	{at: "aws_wafv2_web_acl.rule.statement.rate_based_statement.aggregate_key_type", oneOf: []string{"IP", "FORWARDED_IP", "CUSTOM_KEYS", "CONSTANT"}},
	{at: "aws_wafv2_web_acl.rule.statement.rate_based_statement.limit", min: 10, max: 2000000000},
	{at: "aws_route53_record.type", oneOf: []string{"A", "AAAA"}},
	{at: "aws_eks_cluster.access_config.authentication_mode", oneOf: []string{"API", "API_AND_CONFIG_MAP", "CONFIG_MAP"}},
	{at: "aws_eks_cluster.compute_config.node_pools", oneOf: []string{"general-purpose", "system"}},
	{at: "aws_eks_cluster.kubernetes_network_config.ip_family", oneOf: []string{"ipv4", "ipv6"}},
	{at: "aws_eks_cluster.enabled_cluster_log_types", oneOf: []string{"api", "audit", "authenticator", "controllerManager", "scheduler"}},
	{at: "aws_eks_cluster.encryption_config.resources", oneOf: []string{"secrets"}},
	{at: "aws_eks_cluster.upgrade_policy.support_type", oneOf: []string{"STANDARD", "EXTENDED"}},
	{at: "aws_eks_access_entry.type", oneOf: []string{"STANDARD", "EC2", "EC2_LINUX", "EC2_WINDOWS", "FARGATE_LINUX"}},
	{at: "aws_eks_access_entry.kubernetes_groups", form: `^mcpgateway-(gateway|deployer)$`}, // and never system:
	{at: "aws_eip.domain", oneOf: []string{"vpc"}},
	{at: "aws_vpc_endpoint.vpc_endpoint_type", oneOf: []string{"Gateway", "Interface", "GatewayLoadBalancer"}},
	{at: "aws_vpc_endpoint.service_name", form: `^com\.amazonaws\.[a-z0-9-]+\.s3$`},
	{at: "aws_vpc_security_group_egress_rule.ip_protocol", oneOf: []string{"tcp", "udp", "icmp", "-1"}},
	{at: "aws_vpc_security_group_egress_rule.to_port", min: 443, max: 443},
	{at: "aws_cloudwatch_log_group.retention_in_days", min: 1, max: 3653},
	{at: "aws_cloudwatch_metric_alarm.comparison_operator", oneOf: []string{"GreaterThanThreshold", "GreaterThanOrEqualToThreshold", "LessThanThreshold", "LessThanOrEqualToThreshold"}},
	{at: "aws_cloudwatch_metric_alarm.statistic", oneOf: []string{"SampleCount", "Average", "Sum", "Minimum", "Maximum"}},
	{at: "aws_cloudwatch_metric_alarm.treat_missing_data", oneOf: []string{"missing", "ignore", "breaching", "notBreaching"}},
	{at: "aws_sns_topic_subscription.protocol", oneOf: []string{"email"}},
	{at: "aws_budgets_budget.budget_type", oneOf: []string{"COST", "USAGE"}},
	{at: "aws_budgets_budget.cost_filter.values", form: `^user:mcpgateway\$[a-z][a-z0-9-]+$`},
	{at: "aws_budgets_budget.time_unit", oneOf: []string{"DAILY", "MONTHLY", "QUARTERLY", "ANNUALLY"}},
	{at: "aws_budgets_budget.notification.notification_type", oneOf: []string{"ACTUAL", "FORECASTED"}},
	{at: "aws_budgets_budget.notification.comparison_operator", oneOf: []string{"GREATER_THAN", "LESS_THAN", "EQUAL_TO"}},
	{at: "aws_budgets_budget.notification.threshold_type", oneOf: []string{"PERCENTAGE", "ABSOLUTE_VALUE"}},
}

// broken says what is wrong with one value; "" where nothing is.
func (r rule) broken(value any) string {
	if n, is := value.(float64); is {
		if r.max > 0 && (n < r.min || n > r.max) {
			return fmt.Sprintf("%v is not from %v to %v", n, r.min, r.max)
		}
		return ""
	}
	text := fmt.Sprint(value)
	if r.oneOf != nil && !slices.Contains(r.oneOf, text) {
		return fmt.Sprintf("%q is none of %s", text, strings.Join(r.oneOf, ", "))
	}
	if r.form != "" && !regexp.MustCompile(r.form).MatchString(text) {
		return fmt.Sprintf("%q is not of the form %s", text, r.form)
	}
	return ""
}

// checkRules lists what breaks rules, and counts for each how many values it had.
func checkRules(resources []Resource) (problems []string, used map[string]int) {
	used = map[string]int{}
	for _, r := range resources {
		for _, rule := range rules {
			kind, path, _ := strings.Cut(rule.at, ".")
			if kind != r.Type {
				continue
			}
			for _, v := range valuesAt(r.Values, strings.Split(path, ".")) {
				used[rule.at]++
				if why := rule.broken(v); why != "" {
					problems = append(problems, fmt.Sprintf("%s: %s %s", r.Address, path, why))
				}
			}
		}
		problems = append(problems, checkARNs(r.Address, r.Values)...)
	}
	return problems, used
}

// valuesAt are all values of an argument, in all blocks of the names on the way; null is none.
func valuesAt(v any, path []string) []any {
	switch v := v.(type) {
	case nil:
		return nil
	case []any:
		var all []any
		for _, one := range v {
			all = append(all, valuesAt(one, path)...)
		}
		return all
	case map[string]any:
		if len(path) > 0 {
			return valuesAt(v[path[0]], path[1:])
		}
	}
	if len(path) > 0 {
		return nil
	}
	return []any{v}
}

// arnForm is what all have in common (AWS General Reference, "ARN format").
var arnForm = regexp.MustCompile(`^arn:aws[a-z-]*:[a-z0-9-]+:([a-z0-9-]*|\*):([0-9]{12}|aws)?:.+$`)

// checkARNs looks at every argument that is one by its name.
func checkARNs(at string, v any) (problems []string) {
	switch v := v.(type) {
	case map[string]any:
		for name, inner := range v {
			if text, is := inner.(string); is && (name == "arn" || strings.HasSuffix(name, "_arn")) && text != "" && !arnForm.MatchString(text) {
				problems = append(problems, fmt.Sprintf("%s: %s %q is no ARN", at, name, text))
			}
			problems = append(problems, checkARNs(at, inner)...)
		}
	case []any:
		for _, inner := range v {
			problems = append(problems, checkARNs(at, inner)...)
		}
	}
	return problems
}
