# sdcpd in a container, from its Debian package:
#
#   make deb                       # build/deb/sdcpd_*.deb
#   docker build --tag sdcpd .
#   docker run --detach --name sdcpd --network host --init --restart unless-stopped \
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
HEALTHCHECK CMD ["/usr/bin/python3", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8080/healthz', timeout=5)"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/bin/sdcpd"]
