"""Where the documentation is."""

# A page of the repository, as long as the site has no public address. Then: "https://<its host>/{page}.html".
DOCUMENTATION = "docs/{page}.md"
