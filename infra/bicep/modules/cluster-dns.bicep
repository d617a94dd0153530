// The app finds the API server of a private cluster: the cluster's zone is linked to the app's network. Deployed into the
// resource group of the zone.
param zoneName string
param networkId string

resource zone 'Microsoft.Network/privateDnsZones@2020-06-01' existing = {
  name: zoneName
}

resource link 'Microsoft.Network/privateDnsZones/virtualNetworkLinks@2020-06-01' = {
  parent: zone
  name: 'fluxless-${uniqueString(networkId)}'
  location: 'global'
  properties: {
    registrationEnabled: false
    virtualNetwork: {
      id: networkId
    }
  }
}

output id string = link.id
