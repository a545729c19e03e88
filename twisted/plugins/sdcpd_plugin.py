from twisted.application.service import ServiceMaker

sdcpd = ServiceMaker("sdcpd", "sdcpd.launch", "The open hub for networked resin 3D printers.", "sdcpd")
