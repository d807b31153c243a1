package bake

import (
	"archive/tar"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"mcpgateway/internal/deploy"
)

// packagePath is where images have what was installed, beside what deployers start.
const packagePath = "mcp/package"

// contents is what goes on top of a base image.
type contents struct {
	shim    string // a static binary
	folder  string // an installed package; empty: none
	program string // its program, relative to folder
	keep    bool   // the package knows where it is: it is at the same place in the image
}

// build puts contents on top of a base. The same contents on the same base are the same image, bit by bit: no time and no
// owner of this machine is in it.
func build(base v1.Image, c contents, scratch string) (v1.Image, error) {
	layers := []func(*tar.Writer) error{c.writeShim}
	if c.folder != "" {
		layers = append(layers, c.writePackage) // apart: a shim that changes leaves it where it was pulled
	}
	image := base
	for i, write := range layers {
		file := filepath.Join(scratch, fmt.Sprintf("layer-%d.tar", i))
		if err := writeTar(file, write); err != nil {
			return nil, err
		}
		kind := types.DockerLayer
		if media, err := base.MediaType(); err == nil && media == types.OCIManifestSchema1 {
			kind = types.OCILayer
		}
		layer, err := tarball.LayerFromFile(file, tarball.WithMediaType(kind))
		if err != nil {
			return nil, fmt.Errorf("layer: %w", err)
		}
		if image, err = mutate.AppendLayers(image, layer); err != nil {
			return nil, fmt.Errorf("layer: %w", err)
		}
	}
	config, err := image.ConfigFile()
	if err != nil {
		return nil, fmt.Errorf("read image: %w", err)
	}
	config = config.DeepCopy()
	config.Config.User = fmt.Sprintf("%d:%[1]d", deploy.ImageUser)
	config.Config.Entrypoint, config.Config.Cmd = []string{deploy.ImageShimPath}, nil
	return mutate.ConfigFile(image, config)
}

func writeTar(file string, write func(*tar.Writer) error) error {
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	defer f.Close()
	w := tar.NewWriter(f)
	if err := write(w); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	return f.Close()
}

func (c contents) writeShim(w *tar.Writer) error {
	if err := w.WriteHeader(folderHeader(path.Dir(deploy.ImageShimPath[1:]))); err != nil {
		return err
	}
	return writeFile(w, deploy.ImageShimPath[1:], c.shim, 0o755)
}

// writePackage writes the package's folder and the link to its program.
func (c contents) writePackage(w *tar.Writer) error {
	place := packagePath
	if c.keep {
		place = strings.TrimPrefix(filepath.ToSlash(c.folder), "/")
	}
	if err := writeParents(w, place); err != nil {
		return err
	}
	link := &tar.Header{Typeflag: tar.TypeSymlink, Name: deploy.ImageProgramPath[1:], Linkname: "/" + path.Join(place, filepath.ToSlash(c.program)), Mode: 0o777}
	if err := w.WriteHeader(link); err != nil {
		return err
	}
	return filepath.WalkDir(c.folder, func(file string, d fs.DirEntry, err error) error {
		if err != nil || file == c.folder {
			return err
		}
		relative, err := filepath.Rel(c.folder, file)
		if err != nil {
			return err
		}
		name := path.Join(place, filepath.ToSlash(relative))
		switch kind := d.Type(); {
		case kind.IsDir():
			return w.WriteHeader(folderHeader(name))
		case kind.IsRegular():
			info, err := d.Info()
			if err != nil {
				return err
			}
			return writeFile(w, name, file, 0o644|int64(info.Mode().Perm()&0o111))
		case kind&fs.ModeSymlink != 0:
			target, err := os.Readlink(file)
			if err != nil {
				return err
			}
			return w.WriteHeader(&tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: target, Mode: 0o777})
		default:
			return fmt.Errorf("%s is no file, folder or link: the package cannot be in an image", file)
		}
	})
}

// writeParents writes the folders above name, and name.
func writeParents(w *tar.Writer, name string) error {
	for i, c := range name + "/" {
		if c == '/' {
			if err := w.WriteHeader(folderHeader(name[:i])); err != nil {
				return err
			}
		}
	}
	return nil
}

func folderHeader(name string) *tar.Header {
	return &tar.Header{Typeflag: tar.TypeDir, Name: name + "/", Mode: 0o755}
}

func writeFile(w *tar.Writer, name, file string, mode int64) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: mode, Size: info.Size()}); err != nil {
		return err
	}
	_, err = io.Copy(w, f)
	return err
}
