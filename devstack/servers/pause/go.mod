module order-platform.dev/devstack/servers/pause

go 1.26.0
