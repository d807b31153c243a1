// Package e2eaws tries the whole of AWS on this machine: Terraform applies its modules with a schema stub, what it would have made
// is made in DynamoDB Local, in a fake of S3 and in the Lambda front of localstack, and clients use the URL that it prints.
//
// It has tests only. Stand-ins are CloudFront, which runs the scripts of terraform/edge in Node.js, and the cluster: its API
// server and its ingress are a few lines here (knative/e2e has a real one).
package e2eaws
