package declaration

import (
	"strings"

	"gopkg.in/yaml.v3"

	"recount/schemas/catalog"
)

// FormOf returns the canonical form of a declaration of a section, Events or Views. It is nil if the catalog has none
// of the name. What recount itself declares is none.
func FormOf(c *catalog.Catalog, section, name string) *yaml.Node {
	if v := c.Views[name]; v != nil && section == Views {
		return OfView(c, v)
	}
	if e := c.Events[name]; e != nil && section == Events && !strings.HasPrefix(name, catalog.ReservedPrefix) {
		return OfEventType(e)
	}
	return nil
}

// Edit returns the catalog with a declaration in place of the one of the name, or without it if the form is nil. All
// others are read anew, so that the values of conditions get the types that their fields have now. c stays as it is.
// Errors are those of ReadCatalog.
func Edit(c *catalog.Catalog, section, name string, form *yaml.Node) (*catalog.Catalog, error) {
	whole := OfCatalog(c)
	old := membersOf(whole)[section]
	edited := object()
	for i := 0; i < len(old.Content); i += 2 {
		if old.Content[i].Value != name {
			edited.Content = append(edited.Content, old.Content[i], old.Content[i+1])
		}
	}
	if form != nil {
		add(edited, name, form)
	}
	*old = *edited
	return ReadCatalog(c.Bucket, whole)
}
