package main

import (
	"cmp"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/hashicorp/terraform-plugin-go/tftypes"
)

// account is Amazon's own for examples.
const account = "123456789012"

// maker makes up what AWS would say of one thing. The same configuration has the same values.
type maker struct {
	kind   string // "aws_s3_bucket"
	name   string // what the configuration calls it, else part of the hash
	region string
	hash   string
	length int // that a password shall have
}

func (s *stub) maker(kind string, config tftypes.Value) maker {
	sum := sha256.Sum256([]byte(kind + textOf(config)))
	m := maker{kind: kind, region: cmp.Or(textAt(config, "region"), s.region), hash: hex.EncodeToString(sum[:])}
	for _, field := range []string{"name", "function_name", "bucket", "identifier", "dashboard_name", "alarm_name", "cluster_name"} {
		if m.name == "" {
			m.name = textAt(config, field)
		}
	}
	m.name, m.length = cmp.Or(m.name, m.hash[:17]), numberAt(config, "password_length")
	return m
}

// value makes up an attribute.
func (m maker) value(name string, t tftypes.Type) (tftypes.Value, error) {
	switch {
	case t.Is(tftypes.String):
		return tftypes.NewValue(t, m.text(name)), nil
	case t.Is(tftypes.Number):
		return tftypes.NewValue(t, 1), nil
	case t.Is(tftypes.Bool):
		return tftypes.NewValue(t, false), nil
	case t.Is(tftypes.List{}) || t.Is(tftypes.Set{}):
		return m.several(name, t)
	case t.Is(tftypes.Map{}):
		return tftypes.NewValue(t, map[string]tftypes.Value{}), nil
	case t.Is(tftypes.Object{}):
		return m.object(t)
	}
	return tftypes.NewValue(t, nil), nil
}

// several makes up a list with one thing in it, or as many zones as a region has.
func (m maker) several(name string, t tftypes.Type) (tftypes.Value, error) {
	of := tftypes.Type(nil)
	switch t := t.(type) {
	case tftypes.List:
		of = t.ElementType
	case tftypes.Set:
		of = t.ElementType
	}
	if m.kind == "aws_availability_zones" && name == "names" {
		var zones []tftypes.Value
		for _, letter := range "abc" {
			zones = append(zones, tftypes.NewValue(of, m.region+string(letter)))
		}
		return tftypes.NewValue(t, zones), nil
	}
	one, err := m.value(name, of)
	return tftypes.NewValue(t, []tftypes.Value{one}), err
}

func (m maker) object(t tftypes.Type) (tftypes.Value, error) {
	fields := map[string]tftypes.Value{}
	for name, of := range t.(tftypes.Object).AttributeTypes {
		var err error
		if fields[name], err = m.value(name, of); err != nil {
			return tftypes.Value{}, err
		}
	}
	return tftypes.NewValue(t, fields), nil
}

// text makes up a text. What is read by the configuration has the form that AWS gives it.
func (m maker) text(name string) string {
	switch name {
	case "account_id":
		return account
	case "random_password": // another each time, as AWS does
		return rand.Text() + rand.Text()[:max(0, min(m.length-26, 26))]
	case "region", "name":
		if m.kind == "aws_region" {
			return m.region
		}
		return map[string]string{"region": m.region, "name": m.name}[name]
	case "partition":
		return "aws"
	case "dns_suffix":
		return "amazonaws.com"
	case "id":
		return m.id()
	case "ipv6_cidr_block":
		return "2600:1f14:" + m.hash[:4] + ":" + m.hash[4:6] + "00::/56"
	case "domain_name":
		return "d" + m.hash[:13] + ".cloudfront.net"
	case "bucket_regional_domain_name":
		return m.name + ".s3." + m.region + ".amazonaws.com"
	case "function_url":
		return "https://" + m.hash[:32] + ".lambda-url." + m.region + ".on.aws/"
	case "invoke_url":
		return "https://" + m.hash[:10] + ".execute-api." + m.region + ".amazonaws.com/mcp"
	case "endpoint":
		return "https://" + strings.ToUpper(m.hash[:32]) + ".gr7." + m.region + ".eks.amazonaws.com"
	case "invoke_arn", "response_streaming_invoke_arn":
		return "arn:aws:apigateway:" + m.region + ":lambda:path/2015-03-31/functions/" + m.arn() + "/invocations"
	case "qualified_arn":
		return m.arn() + ":1"
	case "version":
		return "1"
	case "data": // of a cluster's authority
		return "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCg=="
	}
	if name == "arn" || strings.HasSuffix(name, "_arn") {
		return m.arn()
	}
	return m.hash[:17]
}

// prefixes are those of ids that AWS makes.
var prefixes = map[string]string{"aws_vpc": "vpc-", "aws_subnet": "subnet-", "aws_security_group": "sg-", "aws_internet_gateway": "igw-",
	"aws_egress_only_internet_gateway": "eigw-", "aws_route_table": "rtb-", "aws_nat_gateway": "nat-", "aws_eip": "eipalloc-", "aws_vpc_endpoint": "vpce-"}

func (m maker) id() string {
	switch p := prefixes[m.kind]; {
	case p != "":
		return p + m.hash[:17]
	case m.kind == "aws_cloudfront_distribution":
		return "E" + strings.ToUpper(m.hash[:13])
	}
	return m.name
}

// arns are the forms of names that are not SERVICE:REGION:ACCOUNT:KIND/NAME.
var arns = map[string]string{
	"aws_s3_bucket": "s3:::%s", "aws_iam_role": "iam::" + account + ":role/%s", "aws_lambda_function": "lambda:REGION:" + account + ":function:%s",
	"aws_dynamodb_table": "dynamodb:REGION:" + account + ":table/%s", "aws_kms_key": "kms:REGION:" + account + ":key/%s",
	"aws_cloudwatch_log_group": "logs:REGION:" + account + ":log-group:%s", "aws_eks_cluster": "eks:REGION:" + account + ":cluster/%s",
	"aws_cloudfront_distribution": "cloudfront::" + account + ":distribution/%s", "aws_sns_topic": "sns:REGION:" + account + ":%s",
	"aws_sqs_queue": "sqs:REGION:" + account + ":%s", "aws_scheduler_schedule_group": "scheduler:REGION:" + account + ":schedule-group/%s",
	"aws_secretsmanager_secret": "secretsmanager:REGION:" + account + ":secret:%s-AbCdEf", "aws_caller_identity": "iam::" + account + ":user/%s",
	"aws_wafv2_web_acl": "wafv2:REGION:" + account + ":global/webacl/%s/1",
}

func (m maker) arn() string {
	form := arns[m.kind]
	if form == "" {
		words := strings.SplitN(m.kind, "_", 3)
		form = words[min(1, len(words)-1)] + ":REGION:" + account + ":" + strings.ReplaceAll(words[len(words)-1], "_", "-") + "/%s"
	}
	return "arn:aws:" + strings.Replace(fmt.Sprintf(form, m.name), "REGION", m.region, 1)
}
