from twisted.application.service import ServiceMaker

sdcp_printer = ServiceMaker("sdcp-printer", "sdcpd.simulator.tap", "Simulated SDCP resin printers.", "sdcp-printer")
