package main

import (
	"archive/zip"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"mcpgateway/internal/measure"
)

// maxZipMB bounds the gateway's zip: a function that starts cold is fetched first.
const maxZipMB = 12

// zipOf is where make package leaves the gateway's zip for a processor.
func zipOf(bin, processor string) string {
	return filepath.Join(bin, "gateway-"+processor+".zip")
}

// weigh prints how large the zips are.
func weigh(p *measure.Printer, bin string) error {
	for _, processor := range []string{"arm64", "amd64"} {
		info, err := os.Stat(zipOf(bin, processor))
		if err != nil {
			return fmt.Errorf("%w (make package makes it)", err)
		}
		p.Single("zip, "+processor+", MB", float64(info.Size())/1e6, maxZipMB)
	}
	return nil
}

// unpack writes the program of a zip to a file.
func unpack(from, to string) error {
	z, err := zip.OpenReader(from)
	if err != nil {
		return fmt.Errorf("%s: %w (make package makes it)", from, err)
	}
	defer z.Close()
	program, err := z.Open("bootstrap")
	if err != nil {
		return fmt.Errorf("%s: %w", from, err)
	}
	defer program.Close()
	text, err := io.ReadAll(program)
	if err != nil {
		return fmt.Errorf("%s: %w", from, err)
	}
	return os.WriteFile(to, text, 0o700)
}
