package main

import (
	"mcpgateway/internal/catalog"
	"mcpgateway/internal/command"
	"mcpgateway/internal/lambdahttp"
	"mcpgateway/internal/mirror"
)

// namedFiles are what is read besides the platform file, secrets among them: who may read the folder in S3 may be anybody.
func namedFiles(platform string) []string {
	p, err := catalog.LoadPlatform(platform)
	if err != nil {
		return nil // whoever reads it next says why
	}
	files := []string{p.Catalog}
	if p.Audit != nil && p.Audit.Store != nil {
		files = append(files, p.Audit.Store.Files()...)
	}
	return files
}

// serveEvents serves events until the process ends.
func (s *server) serveEvents(copied *mirror.Mirror) error {
	adapter, err := lambdahttp.New(lambdahttp.Config{Handler: command.Keeping(copied, s), Logger: s.log})
	if err != nil {
		return err
	}
	s.log.Info("ready", "version", version, "commit", commit)
	adapter.Start()
	return nil
}
