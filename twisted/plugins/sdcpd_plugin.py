from twisted.application.service import ServiceMaker

sdcpd = ServiceMaker("sdcpd", "sdcpd.tap", "The open hub for networked resin 3D printers.", "sdcpd")
