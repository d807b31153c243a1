package packages

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// npm installs packages of the npm registry, or of the one that the user's settings name.
var npm = manager{
	needs:       []string{"npm", "node"},
	advice:      "Node.js 20 or newer, which brings npm",
	variables:   "NPM_CONFIG_",
	arguments:   npmArguments,
	environment: func(string) []string { return nil },
	reason:      npmReason,
	find:        npmProgram,
}

// npmArguments ask for one exact version, below folder whatever else is set, and for lines that say what is done. A
// registry that does not answer is asked twice only, so that whoever waits learns it within seconds; npm's own log file
// would be one more place to clean up.
func npmArguments(folder, name string) []string {
	return []string{
		"install", "--prefix", folder, "--global=false", "--save-exact",
		"--no-audit", "--no-fund", "--no-update-notifier", "--no-progress", "--color=false",
		"--loglevel=http", "--foreground-scripts", "--logs-max=0",
		"--fetch-retries=1", "--fetch-retry-mintimeout=1000", "--fetch-retry-maxtimeout=2000", "--fetch-timeout=60000",
		"--", name,
	}
}

// npmError is a line of npm's about an error: "npm error code E404", or with ERR! before version 10.
var npmError = regexp.MustCompile(`^npm (?:error|ERR!) (\S+) ?(.*)$`)

var (
	npmCode   = regexp.MustCompile(`^[A-Z0-9_]{1,40}$`)
	npmStatus = regexp.MustCompile(`^[0-9]{1,3}$`)
	// npmSays are the first words of lines that are written for people. Others hold paths, addresses and stacks.
	npmSays = regexp.MustCompile(`^([0-9]{3}|notarget|engine|notsup)$`)
)

// npmMeans are the codes that npm prints without a sentence that a caller could be shown.
var npmMeans = map[string]string{
	"ECONNREFUSED":              "the registry cannot be reached",
	"ECONNRESET":                "the registry cannot be reached",
	"EAI_AGAIN":                 "the registry cannot be found",
	"ENOTFOUND":                 "the registry cannot be found",
	"ETIMEDOUT":                 "the registry does not answer",
	"ERR_SOCKET_TIMEOUT":        "the registry does not answer",
	"SELF_SIGNED_CERT_IN_CHAIN": "the registry's certificate is not trusted",
	"EINTEGRITY":                "the package is not what its checksum says",
	"ENEEDAUTH":                 "the registry wants its users to sign in",
	"E401":                      "the registry wants its users to sign in",
	"ENOSPC":                    "the disk is full",
}

// npmReason is npm's code, and what it means in npm's words or in ours.
func npmReason(lines []string) string {
	code, says := "", ""
	for _, line := range lines {
		m := npmError.FindStringSubmatch(line)
		switch {
		case m == nil:
		case code == "" && m[1] == "code" && npmCode.MatchString(m[2]):
			code = m[2]
		case code != "" && says == "" && npmSays.MatchString(m[1]) && !private.MatchString(m[2]):
			says = strings.TrimRight(strings.TrimSpace(m[2]), ".")
		}
	}
	if says == "" {
		says = npmMeans[code]
	}
	if says == "" && npmStatus.MatchString(code) {
		return "that a script of the package failed with status " + code
	}
	if says == "" {
		return code
	}
	return code + ", " + says
}

// npmProgram finds what npx would run.
func npmProgram(folder, name string) (string, error) {
	name = name[:max(0, strings.LastIndexByte(name, '@'))] // without the version
	own := filepath.Join(folder, "node_modules", filepath.FromSlash(name))
	manifest, err := readManifest(filepath.Join(own, "package.json"))
	if err != nil {
		return "", &trouble{reason: "its package.json cannot be used", cause: err}
	}
	program, target, err := programOf(manifest, name)
	if err != nil {
		return "", &trouble{reason: "its package.json names no program that can be run", cause: err}
	}
	relative := filepath.Join("node_modules", ".bin", program)
	link, err := filepath.EvalSymlinks(filepath.Join(folder, relative))
	if err != nil {
		return "", &trouble{reason: "it lacks the program that its package.json names", cause: err}
	}
	file, err := filepath.EvalSymlinks(filepath.Join(own, filepath.FromSlash(target)))
	if err != nil {
		return "", &trouble{reason: "it lacks the program that its package.json names", cause: err}
	}
	// Another package, one that it depends on, may have taken the name; and links may lead anywhere.
	if link != file || !below(own, file) {
		return "", &trouble{reason: "its program is not its own", cause: fmt.Errorf("%s leads to %s", relative, link)}
	}
	return relative, nil
}

// below reports whether path, which is free of links, is in a folder.
func below(folder, path string) bool {
	real, err := filepath.EvalSymlinks(folder)
	return err == nil && strings.HasPrefix(path, real+string(filepath.Separator))
}

// readManifest reads a package.json, whose author is anybody.
func readManifest(path string) ([]byte, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() { // opening a pipe would wait for its writer
		return nil, errors.New("not a plain file")
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxManifest+1))
	if err == nil && len(text) > maxManifest {
		err = fmt.Errorf("larger than %d bytes", maxManifest)
	}
	return text, err
}
