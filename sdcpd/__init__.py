"""sdcpd: the open hub for networked resin 3D printers that speak SDCP."""
