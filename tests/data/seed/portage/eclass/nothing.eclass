# A package of the fixture builds and installs nothing: what counts is what pulls it in.
S=${WORKDIR}
