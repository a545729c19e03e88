# sdcpd in a container, from its Debian package:
#
#   make deb                       # build/deb/sdcpd_*.deb
#   docker build --tag sdcpd .
#   docker run --detach --name sdcpd --network host --restart unless-stopped \
#       --volume sdcpd:/var/lib/sdcpd --volume /etc/sdcpd:/etc/sdcpd:ro sdcpd
#
# Why the host's network, and what to do without it: docs/install.md.
FROM debian:12-slim

COPY build/deb/sdcpd_*.deb /tmp/
RUN apt-get update \
    && apt-get install --yes --no-install-recommends /tmp/sdcpd_*.deb \
    && rm -rf /tmp/sdcpd_*.deb /var/lib/apt/lists/*

USER sdcpd
# The unit does the same for the service: one thread counts numbers at a time.
ENV OPENBLAS_NUM_THREADS=1
VOLUME /var/lib/sdcpd
EXPOSE 1883 8081 8080
# It is asked where it listens, whatever port the configuration says, and by no proxy of the environment.
HEALTHCHECK CMD ["/usr/bin/python3", "-c", "import http.client, json; \
    address = json.load(open('/var/lib/sdcpd/ports.json'))['web'][0]['address']; \
    asked = http.client.HTTPConnection(address, timeout=5); \
    asked.request('GET', '/healthz'); \
    raise SystemExit(asked.getresponse().status != 200)"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/bin/sdcpd"]
